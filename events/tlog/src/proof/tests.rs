//! The reference tree of certificate transparency, and the naive definition of RFC 6962 as the measure.

use proptest::prelude::*;
use steward_events::BoxError;
use steward_events::digest::TreeHash;

use super::*;
use crate::merkle::Frontier;

/// The leaves of the reference tree, as hex.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots of its first 0 to 8 leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hash(text: &str) -> TreeHash {
    TreeHash(unhex(text).try_into().unwrap())
}

/// Leaves, and subtrees made from them each time anew.
struct Leaves(Vec<TreeHash>);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> Result<TreeHash, BoxError> {
        let (begin, end) = (index << level, (index + 1) << level);
        let range = usize::try_from(begin).unwrap()..usize::try_from(end).unwrap();
        Ok(naive_root(self.0.get(range).ok_or("no such subtree")?))
    }
}

fn reference() -> Leaves {
    Leaves(LEAVES.iter().map(|leaf| TreeHash::leaf(&unhex(leaf))).collect())
}

fn naive_split(count: usize) -> usize {
    let mut k = 1;
    while k * 2 < count {
        k *= 2;
    }
    k
}

/// MTH of RFC 6962, 2.1.
fn naive_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            TreeHash::node(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, 2.1.1.
fn naive_path(index: usize, leaves: &[TreeHash]) -> Vec<TreeHash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, other) =
        if index < k { (naive_path(index, left), right) } else { (naive_path(index - k, right), left) };
    path.push(naive_root(other));
    path
}

/// SUBPROOF of RFC 6962, 2.1.2.
fn naive_subproof(old: usize, leaves: &[TreeHash], whole: bool) -> Vec<TreeHash> {
    if old == leaves.len() {
        return if whole { vec![] } else { vec![naive_root(leaves)] };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if old <= k {
        let mut proof = naive_subproof(old, left, whole);
        proof.push(naive_root(right));
        proof
    } else {
        let mut proof = naive_subproof(old - k, right, false);
        proof.push(naive_root(left));
        proof
    }
}

#[test]
fn the_reference_roots_are_met() {
    let mut frontier = Frontier::default();
    for (size, root) in (0..).zip(ROOTS) {
        assert_eq!(frontier.root(), hash(root), "by growing, {size}");
        assert_eq!(super::root(&reference(), size).unwrap(), hash(root), "from nodes, {size}");
        if let Some(leaf) = LEAVES.get(usize::try_from(size).unwrap()) {
            frontier.push(TreeHash::leaf(&unhex(leaf)));
        }
    }
}

#[test]
fn the_reference_inclusion_proofs_are_met() {
    let known: [(u64, u64, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ];
    for (index, size, expected) in known {
        let expected: Vec<TreeHash> = expected.iter().map(|text| hash(text)).collect();
        assert_eq!(inclusion(&reference(), index, size).unwrap(), expected, "leaf {index} of {size}");
        let at = usize::try_from(index).unwrap();
        let root = hash(ROOTS[usize::try_from(size).unwrap()]);
        assert!(includes(reference().0[at], index, size, &expected, root));
    }
}

#[test]
fn the_reference_consistency_proofs_are_met() {
    let known: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (old, size, expected) in known {
        let expected: Vec<TreeHash> = expected.iter().map(|text| hash(text)).collect();
        assert_eq!(consistency(&reference(), old, size).unwrap(), expected, "{old} to {size}");
        let root = |size: u64| hash(ROOTS[usize::try_from(size).unwrap()]);
        assert!(goes_on(old, root(old), size, root(size), &expected));
    }
}

#[test]
fn a_commit_outside_the_tree_has_no_proof() {
    assert!(matches!(inclusion(&reference(), 8, 8), Err(Error::OutOfRange { size: 8, wanted: 8 })));
    assert!(matches!(consistency(&reference(), 9, 8), Err(Error::OutOfRange { size: 8, wanted: 9 })));
}

fn leaves(count: usize) -> Vec<TreeHash> {
    (0..count).map(|at| TreeHash::leaf(&at.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn trees_and_proofs_are_as_defined(size in 1_usize..300, a: prop::sample::Index, b: prop::sample::Index) {
        let leaves = leaves(size);
        let (index, old) = (a.index(size), b.index(size) + 1);
        let (wide_size, wide_index, wide_old) = (size as u64, index as u64, old as u64);
        let root = naive_root(&leaves);
        let mut frontier = Frontier::default();
        for leaf in &leaves {
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.root(), root);
        let nodes = Leaves(leaves.clone());
        let path = inclusion(&nodes, wide_index, wide_size).unwrap();
        prop_assert_eq!(&path, &naive_path(index, &leaves));
        prop_assert!(includes(leaves[index], wide_index, wide_size, &path, root));
        let proof = consistency(&nodes, wide_old, wide_size).unwrap();
        let expected = if old == size { vec![] } else { naive_subproof(old, &leaves, true) };
        prop_assert_eq!(&proof, &expected);
        let old_root = naive_root(&leaves[..old]);
        prop_assert!(goes_on(wide_old, old_root, wide_size, root, &proof));
    }

    #[test]
    fn a_false_proof_shows_nothing(size in 2_usize..80, a: prop::sample::Index, b: prop::sample::Index, bit in 0_usize..256) {
        let leaves = leaves(size);
        let index = a.index(size);
        let root = naive_root(&leaves);
        let flip = |hash: &mut TreeHash| hash.0[bit / 8] ^= 1 << (bit % 8);
        let path = naive_path(index, &leaves);
        let (size, index) = (size as u64, index as u64);
        let leaf = leaves[a.index(leaves.len())];
        for at in 0..path.len() {
            let mut wrong = path.clone();
            flip(&mut wrong[at]);
            prop_assert!(!includes(leaf, index, size, &wrong, root));
        }
        let mut wrong = leaf;
        flip(&mut wrong);
        prop_assert!(!includes(wrong, index, size, &path, root));
        prop_assert!(!includes(leaf, index, size, &path[1..], root));
        prop_assert!(!includes(leaf, index, size, &[path.clone(), vec![root]].concat(), root));
        prop_assert!(!includes(leaf, index + size, size, &path, root));
        // Another history of the old tree's length.
        let old = b.index(leaves.len() - 1) + 1;
        let proof = naive_subproof(old, &leaves, true);
        let mut other = leaves[..old].to_vec();
        flip(&mut other[0]);
        prop_assert!(!goes_on(old as u64, naive_root(&other), size, root, &proof));
        prop_assert!(!goes_on(old as u64, naive_root(&leaves[..old]), size, wrong, &proof));
    }

    /// Whatever a stranger hands over, the check ends without a panic.
    #[test]
    fn nonsense_is_no_proof(index: u64, size: u64, old: u64, seed: u8, count in 0_usize..70) {
        let proof = vec![TreeHash([seed; 32]); count];
        let root = TreeHash([seed.wrapping_add(1); 32]);
        prop_assert!(!includes(TreeHash([seed; 32]), index, size, &proof, root));
        prop_assert!(!goes_on(old, TreeHash([seed; 32]), size, root, &proof));
    }
}
