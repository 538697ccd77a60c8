"""Registered domains of URLs, in Python and in SQL."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.domains import domain_of, host_of, host_sql, list_version, registered_domain

KNOWN = {
    "https://example.com/a.jpg": "example.com",
    "HTTP://Img.Example.CO.UK:8080/a?x=http://other.org": "example.co.uk",
    "https://user:pa@ss@www.example.org/": "example.org",
    "https://someone.github.io/a.png": "github.io",
    "https://bücher.example.de/ü": "example.de",
    "https://bücher.de": "xn--bcher-kva.de",
    "https://例え.テスト.jp/": "xn--zckzah.jp",
    "https://example.com./a": "example.com",
    "http://192.0.2.7/a.gif": "192.0.2.7",
    "http://[2001:DB8::1]:80/": "2001:db8::1",
    "http://localhost/a": "localhost",
    "https://co.uk/": "co.uk",
    "s3://my-bucket/a": "my-bucket",
    "not a url": None,
    "": None,
    "https:///a": None,
    "https://a b.com/": None,
    "https://<script>alert(1)</script>/": None,
    "https://%65xample.com/": None,
    "javascript:alert(1)": None,
    f"https://{'a' * 64}.com/": None,
}


@pytest.mark.parametrize(("url", "domain"), KNOWN.items())
def test_the_registered_domain_of_a_url_is_known(url, domain):
    assert registered_domain(url) == domain


@given(st.one_of(st.text(), st.text().map(lambda rest: f"https://{rest}"), st.from_regex(r"[a-z]+://[^/]*@[^/]*")))
def test_any_text_has_the_same_host_in_python_and_sql_and_a_domain_that_is_stable(url):
    if "\0" in url:  # neither a URL nor a text of every engine
        return
    host = host_of(url)
    found = duckdb.execute(f"SELECT {host_sql('$1')}", [url]).fetchall()[0][0]
    assert domain_of(found) == domain_of(host)
    domain = domain_of(host)
    if domain is not None:
        assert domain.isascii() and domain_of(domain) == domain


def test_credentials_are_no_part_of_a_domain():
    assert "secret" not in (registered_domain("https://me:secret@example.com/") or "")


def test_the_version_of_the_list_is_recorded():
    assert list_version().startswith("publicsuffixlist=1.")
