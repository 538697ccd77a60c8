"""Rules, targets and quotas that decide which rows are kept."""
