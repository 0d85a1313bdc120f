"""One more setting, `workers.naps_max`: a field of the crate's `Config` and its default, both in one file."""

from steward_testkit.source_tree import Growth

PLACES = ("workers/src/config.rs",)


def grow(it: Growth):
    config = "workers/src/config.rs"
    it.before(config, "/// Tasks this process drives at once", "/// How often a worker may rest.\npub naps_max: NonZeroU32,")
    it.before(config, "tasks_concurrent_max: NonZeroU32::new(16)", "naps_max: NonZeroU32::MIN,")
