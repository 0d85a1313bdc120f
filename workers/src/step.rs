//! What a step does: one file a kind of effect.

pub(crate) mod model;
