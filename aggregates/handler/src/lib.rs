//! Load, authorise, decide, group commit, reply.
