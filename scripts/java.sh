#!/bin/sh
# Makes sure that Java 17 or newer is there, which Spark needs, and prints where it is.
# Looks where curate looks: JAVA_HOME, else PATH, else /usr/lib/jvm. When there is none, installs one on Debian and
# its relatives as root or with password-less sudo; otherwise says what to do and exits with 1.
set -eu

min_java=17
jvm_folder=/usr/lib/jvm

# Prints the major version of the Java at $1, or 0.
major_version() {
    "$1" -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1 | grep . || echo 0
}

# Succeeds, and says so, when the Java at $1 is new enough.
accept() {
    [ -x "$1" ] || return 1
    version=$(major_version "$1")
    [ "$version" -ge "$min_java" ] || return 1
    echo "Java $version: $1"
}

find_java() {
    if [ -n "${JAVA_HOME:-}" ] && accept "$JAVA_HOME/bin/java"; then
        return 0
    fi
    on_path=$(command -v java || true)
    if [ -n "$on_path" ] && accept "$on_path"; then
        return 0
    fi
    for java in "$jvm_folder"/*/bin/java; do
        if accept "$java"; then
            return 0
        fi
    done
    return 1
}

# Prints the headless runtime this release offers: 17 where it exists, else the default, else the newest.
choose_package() {
    for package in "openjdk-$min_java-jre-headless" default-jre-headless; do
        candidate=$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
        if [ -n "$candidate" ] && [ "$candidate" != "(none)" ] && new_enough "$package"; then
            echo "$package"
            return 0
        fi
    done
    apt-cache search --names-only '^openjdk-[0-9]+-jre-headless$' | sed 's/ .*//' | sort -t - -k 2 -n | tail -n 1 |
        while read -r package; do
            if new_enough "$package"; then echo "$package"; fi
        done
}

# Succeeds when the package $1 brings Java $min_java or newer; default-jre-headless says so by what it depends on.
new_enough() {
    number=$(apt-cache depends "$1" | sed -n 's/.*openjdk-\([0-9]*\)-jre-headless.*/\1/p' | head -n 1)
    [ "${number:-0}" -ge "$min_java" ]
}

complain() {
    {
        echo "Java $min_java or newer is needed by Spark and was not found: $1"
        echo "Do one of these, then try again:"
        echo "  Debian, Ubuntu   apt-get install openjdk-$min_java-jre-headless (or default-jre-headless), as root"
        echo "  Fedora, RHEL     dnf install java-$min_java-openjdk-headless, as root"
        echo "  without root     unpack a JDK $min_java or newer anywhere, and set JAVA_HOME to its folder"
    } >&2
    exit 1
}

if find_java; then
    exit 0
fi
command -v apt-get >/dev/null || complain "this system has no apt-get to install it with"
if [ "$(id -u)" -eq 0 ]; then
    as_root="env DEBIAN_FRONTEND=noninteractive"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n env DEBIAN_FRONTEND=noninteractive"
else
    complain "installing it needs root or password-less sudo"
fi

# shellcheck disable=SC2086 # $as_root is a command with its arguments
{
    $as_root apt-get update --quiet >&2 || true
    package=$(choose_package)
    [ -n "$package" ] || complain "apt offers no Java $min_java or newer"
    echo "installing $package" >&2
    $as_root apt-get install --quiet --yes --no-install-recommends "$package" >&2 </dev/null ||
        complain "apt-get install $package failed"
}
find_java || complain "$package is installed, yet has no $jvm_folder/*/bin/java"
