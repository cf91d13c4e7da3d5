//! The derive macro of `windrow-datasets`.
