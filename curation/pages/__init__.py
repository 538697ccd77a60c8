"""The pages of a report: what a manifest contains, in pictures, as static HTML that asks nothing of the network."""
