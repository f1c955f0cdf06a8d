"""The declared side of what is sold: services, meters, resource types, Skus, price books."""
