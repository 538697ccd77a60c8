"""What benchmarks.control_plane runs in processes of its own: an S3 server, and the operations of a driver."""
