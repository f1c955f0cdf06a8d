"""What is sold: services, meters, Skus, price books."""
