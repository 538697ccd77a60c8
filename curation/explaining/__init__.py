"""Why a row is what it is: the answers of `curate explain`, and of reports."""
