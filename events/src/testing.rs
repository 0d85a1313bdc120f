//! For tests: fixtures, and the contract that every log passes.
