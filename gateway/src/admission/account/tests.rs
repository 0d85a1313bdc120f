//! Given/when/then for an account.
