//! The store port on sled.
