"""What a person sees on a terminal, and the same as JSON."""
