"""What each command does once its options, which `jobs.cli` declares, are parsed; imported when a command runs."""
