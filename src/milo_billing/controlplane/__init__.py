"""The declarative engine: kinds, storage, admission, watch, the Kubernetes wire protocol. Knows no billing."""
