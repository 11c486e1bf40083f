//! Boosted trees in flat arrays, scored in blocks of rows. Not how they are grown, nor what their margin means.
//!
//! Nodes of a tree lie breadth first, siblings side by side, and a leaf leads to itself: so all rows of a block take
//! the same number of steps through a tree, without a branch, eight at a time.

use fyke_types::{Error, Result};

use crate::encode::Rows;
use crate::keys::{Step, key};
use crate::raw_tree::{RawNode, Test, breadth_first};

/// Rows that walk a tree together: enough to hide the latency of a node's load.
const LANES: usize = 8;
/// Rows that stay in the first-level cache while all trees pass over them.
const BLOCK: usize = 64;

/// One node as single rows and categories read it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// A present value below it goes left. In a leaf infinite.
    threshold: f32,
    feature: u32,
    /// The left child, the right one is next to it. In a leaf the leaf itself.
    child: u32,
    /// Lowest bit: missing goes right. The rest: 1 + the place of the category set, 0 for a number.
    route: u32,
}

/// Where a tree lies.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tree {
    root: u32,
    depth: u32,
}

/// The sum of many trees: `margin = base + Σ leaf`, in 32-bit floats and in the trees' order, as XGBoost adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    width: usize,
    base: f32,
    trees: Vec<Tree>,
    nodes: Vec<Node>,
    /// The same nodes for whole blocks of rows without categories.
    steps: Vec<Step>,
    /// Leaf values; in a split the cover-weighted mean of its leaves.
    values: Vec<f32>,
    /// Sums of hessians.
    covers: Vec<f32>,
    /// Gains of splits, 0 in leaves.
    gains: Vec<f32>,
    /// Category sets, sorted.
    sets: Vec<Vec<u32>>,
}

impl Forest {
    /// A forest without trees over rows of `width` values.
    pub(crate) fn new(width: usize, base: f32) -> Result<Self> {
        if !base.is_finite() {
            return Err(Error::data(format!("the trees' base margin is {base}")));
        }
        Ok(Self {
            width,
            base,
            trees: Vec::new(),
            nodes: Vec::new(),
            steps: Vec::new(),
            values: Vec::new(),
            covers: Vec::new(),
            gains: Vec::new(),
            sets: Vec::new(),
        })
    }

    /// Adds a tree whose root is the first node; every node must be reached exactly once.
    pub(crate) fn push(&mut self, raw: &[RawNode]) -> Result<()> {
        let index = self.trees.len();
        let malformed = |what: String| Error::data(format!("tree {index} {what}"));
        if self.nodes.len() + raw.len() > u32::MAX as usize / 2 {
            return Err(malformed("makes the model too large".into()));
        }
        let (order, depth) = breadth_first(raw).map_err(malformed)?;
        let root = self.nodes.len();
        let mut next_child = root + 1;
        for &place in &order {
            let own = self.nodes.len();
            match raw.get(place) {
                Some(RawNode::Leaf { value, cover }) if value.is_finite() => self.push_leaf(own, *value, *cover),
                Some(RawNode::Split { feature, test, missing_left, gain, cover, .. })
                    if (*feature as usize) < self.width =>
                {
                    let route = u32::from(!missing_left);
                    self.push_split(next_child, *feature, test, route, (*gain, *cover));
                    next_child += 2;
                }
                _ => return Err(malformed("has a leaf that is not finite, or a split on no feature".into())),
            }
        }
        self.set_expectations(root);
        self.trees.push(Tree { root: root as u32, depth });
        Ok(())
    }

    fn push_leaf(&mut self, own: usize, value: f32, cover: f32) {
        self.nodes.push(Node { threshold: f32::INFINITY, feature: 0, child: own as u32, route: 0 });
        self.steps.push(Step::leaf(own as u32));
        self.push_statistics(value, cover, 0.0);
    }

    fn push_split(&mut self, child: usize, feature: u32, test: &Test, mut route: u32, (gain, cover): (f32, f32)) {
        let threshold = match test {
            Test::Below(threshold) => *threshold,
            Test::Among(codes) => {
                self.sets.push(codes.clone());
                route |= (self.sets.len() as u32) << 1;
                0.0
            }
        };
        self.nodes.push(Node { threshold, feature, child: child as u32, route });
        self.steps.push(Step::split(threshold, feature, child as u32, route & 1 == 0));
        self.push_statistics(0.0, cover, gain);
    }

    fn push_statistics(&mut self, value: f32, cover: f32, gain: f32) {
        self.values.push(value);
        // a broken cover must not poison the expectations
        self.covers.push(if cover.is_finite() && cover > 0.0 { cover } else { 0.0 });
        self.gains.push(if gain.is_finite() { gain } else { 0.0 });
    }

    /// Means from the leaves up: children come after their parent.
    fn set_expectations(&mut self, root: usize) {
        for own in (root..self.nodes.len()).rev() {
            let left = self.nodes[own].child as usize;
            if left == own {
                continue;
            }
            let (a, b) = (f64::from(self.covers[left]), f64::from(self.covers[left + 1]));
            let (x, y) = (f64::from(self.values[left]), f64::from(self.values[left + 1]));
            let mean = if a + b > 0.0 { (a * x + b * y) / (a + b) } else { (x + y) / 2.0 };
            self.values[own] = mean as f32;
        }
    }

    /// Values a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The margin before any tree.
    pub fn base(&self) -> f32 {
        self.base
    }

    /// How many trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// How many nodes, leaves included.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The greatest depth.
    pub fn depth(&self) -> usize {
        self.trees.iter().map(|tree| tree.depth as usize).max().unwrap_or(0)
    }

    /// For each feature the sum of its splits' gains, as shares of all; all 0 without a split.
    pub fn importances(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        for (own, node) in self.nodes.iter().enumerate() {
            if node.child as usize != own {
                sums[node.feature as usize] += f64::from(self.gains[own]);
            }
        }
        let total: f64 = sums.iter().sum();
        if total > 0.0 {
            sums.iter_mut().for_each(|sum| *sum /= total);
        }
        sums
    }

    /// The margin (log odds) of each row.
    pub fn margins(&self, rows: &Rows) -> Vec<f32> {
        let mut margins = vec![self.base; rows.len()];
        if rows.width() != self.width || self.width == 0 {
            return vec![f32::NAN; rows.len()];
        }
        if margins.len() < LANES {
            return rows.iter().map(|row| self.margin(row)).collect();
        }
        let (mut keys, mut floats) = (Vec::new(), Vec::new());
        for (block, sums) in rows.values().chunks(BLOCK * self.width).zip(margins.chunks_mut(BLOCK)) {
            // the last lanes are filled up with rows of missing values, whose margins nobody reads
            let padded = sums.len().next_multiple_of(LANES) * self.width;
            if self.sets.is_empty() {
                keys.clear();
                keys.extend(block.iter().map(|value| key(*value)));
                keys.resize(padded, key(f32::NAN));
                self.add_trees(&keys, sums, Self::walk_keys);
            } else {
                floats.clear();
                floats.extend_from_slice(block);
                floats.resize(padded, f32::NAN);
                self.add_trees(&floats, sums, Self::walk);
            }
        }
        margins
    }

    /// Adds all trees to the sums of a block of rows; `walk` finds the leaves that whole lanes reach.
    fn add_trees<T>(&self, block: &[T], sums: &mut [f32], walk: impl Fn(&Self, Tree, &[T]) -> [u32; LANES]) {
        for tree in &self.trees {
            for (lanes, sums) in block.chunks_exact(LANES * self.width).zip(sums.chunks_mut(LANES)) {
                for (sum, place) in sums.iter_mut().zip(walk(self, *tree, lanes)) {
                    *sum += self.values[place as usize];
                }
            }
        }
    }

    fn walk_keys(&self, tree: Tree, lanes: &[u32]) -> [u32; LANES] {
        let mut places = [tree.root; LANES];
        for _ in 0..tree.depth {
            for (lane, place) in places.iter_mut().enumerate() {
                let step = &self.steps[*place as usize];
                *place = step.next(lanes[lane * self.width + step.feature as usize]);
            }
        }
        places
    }

    fn walk(&self, tree: Tree, lanes: &[f32]) -> [u32; LANES] {
        let mut places = [tree.root; LANES];
        for _ in 0..tree.depth {
            for (lane, place) in places.iter_mut().enumerate() {
                let node = &self.nodes[*place as usize];
                *place = node.child + self.goes_right(node, lanes[lane * self.width + node.feature as usize]);
            }
        }
        places
    }

    /// 1 where the value goes to the right child, else 0.
    #[inline(always)]
    fn goes_right(&self, node: &Node, value: f32) -> u32 {
        if node.route > 1 {
            return self.category_goes_right(node, value);
        }
        u32::from(value >= node.threshold) | (u32::from(value.is_nan()) & node.route)
    }

    #[inline(never)]
    fn category_goes_right(&self, node: &Node, value: f32) -> u32 {
        if value.is_nan() {
            return node.route & 1;
        }
        let among = self.sets.get((node.route >> 1) as usize - 1);
        u32::from(among.is_none_or(|codes| codes.binary_search(&(value as u32)).is_err()))
    }

    /// The leaf that a row reaches from `start`, with one feature's value replaced if so wanted.
    #[inline]
    pub(crate) fn leaf_below(&self, start: usize, row: &[f32], replaced: Option<(usize, f32)>) -> usize {
        let mut own = start;
        loop {
            let node = &self.nodes[own];
            if node.child as usize == own {
                return own;
            }
            let feature = node.feature as usize;
            let value = match replaced {
                Some((which, value)) if which == feature => value,
                _ => row.get(feature).copied().unwrap_or(f32::NAN),
            };
            own = (node.child + self.goes_right(node, value)) as usize;
        }
    }

    /// One step: the feature asked, the children that `value` and (for a comparison) `other` lead to. None at a leaf.
    #[inline]
    pub(crate) fn split_at(&self, own: usize) -> Option<SplitAt<'_>> {
        let node = self.nodes.get(own)?;
        (node.child as usize != own).then_some(SplitAt { forest: self, node })
    }

    /// The trees' roots in order.
    pub(crate) fn roots(&self) -> impl ExactSizeIterator<Item = usize> {
        self.trees.iter().map(|tree| tree.root as usize)
    }

    /// A leaf's value, or the mean of the leaves below a split.
    pub(crate) fn value(&self, own: usize) -> f32 {
        self.values.get(own).copied().unwrap_or(0.0)
    }

    /// A tree's nodes, breadth first, for files and for other formats.
    pub(crate) fn raw_tree(&self, tree: usize) -> Vec<RawNode> {
        let start = self.trees.get(tree).map_or(0, |tree| tree.root as usize);
        let end = self.trees.get(tree + 1).map_or(self.nodes.len(), |tree| tree.root as usize);
        (start..end).map(|own| self.raw_node(own, start)).collect()
    }

    fn raw_node(&self, own: usize, start: usize) -> RawNode {
        let (node, cover) = (self.nodes[own], self.covers[own]);
        if node.child as usize == own {
            return RawNode::Leaf { value: self.values[own], cover };
        }
        let set = (node.route >> 1) as usize;
        let test = match set.checked_sub(1).and_then(|set| self.sets.get(set)) {
            Some(codes) => Test::Among(codes.clone()),
            None => Test::Below(node.threshold),
        };
        let left = node.child as usize - start;
        let (missing_left, gain) = (node.route & 1 == 0, self.gains[own]);
        RawNode::Split { feature: node.feature, test, missing_left, left, right: left + 1, gain, cover }
    }
}

/// A split that a walk stands at.
#[derive(Clone, Copy)]
pub(crate) struct SplitAt<'a> {
    forest: &'a Forest,
    node: &'a Node,
}

impl SplitAt<'_> {
    pub(crate) fn feature(&self) -> usize {
        self.node.feature as usize
    }

    /// The child that this value leads to.
    pub(crate) fn child(&self, value: f32) -> usize {
        (self.node.child + self.forest.goes_right(self.node, value)) as usize
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn leaf(value: f32, cover: f32) -> RawNode {
        RawNode::Leaf { value, cover }
    }

    pub(crate) fn split(feature: u32, test: Test, missing_left: bool, left: usize, right: usize) -> RawNode {
        RawNode::Split { feature, test, missing_left, left, right, gain: 1.0, cover: 1.0 }
    }

    /// x < 1 ? −1 (cover 3) : (c in {0, 2} ? 4 : 8, covers 1 and 2); missing x goes right, missing c left.
    pub(crate) fn small() -> Forest {
        let mut forest = Forest::new(2, 0.5).unwrap();
        let tree = [
            split(0, Test::Below(1.0), false, 3, 1),
            split(1, Test::Among(vec![0, 2]), true, 2, 4),
            leaf(4.0, 1.0),
            leaf(-1.0, 3.0),
            leaf(8.0, 2.0),
        ];
        forest.push(&tree).unwrap();
        forest
    }

    pub(crate) fn rows(values: &[f32], width: usize) -> Rows {
        use std::sync::Arc;
        let features = (0..width).map(|i| crate::Feature { name: format!("f{i}"), kind: crate::FeatureKind::Number });
        let encoder =
            crate::Encoder::new(crate::Signature::new(features.collect()).unwrap(), Default::default()).unwrap();
        let column = |place: usize| {
            Arc::new(arrow::array::Float32Array::from_iter_values(values.iter().skip(place).step_by(width).copied()))
                as _
        };
        encoder.encode_columns(&(0..width).map(column).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn rows_reach_their_leaves_by_number_category_and_missing() {
        let nan = f32::NAN;
        let cases =
            [(0.0, 1.0, -0.5), (1.0, 0.0, 4.5), (1.0, 1.0, 8.5), (nan, 2.0, 4.5), (2.0, nan, 4.5), (nan, 9.0, 8.5)];
        // once in whole lanes, once in what is left over
        let values: Vec<f32> = cases.iter().cycle().take(20).flat_map(|(x, c, _)| [*x, *c]).collect();
        let expected: Vec<f32> = cases.iter().cycle().take(20).map(|case| case.2).collect();
        assert_eq!(small().margins(&rows(&values, 2)), expected);
    }

    #[test]
    fn splits_hold_the_cover_weighted_mean_of_their_leaves() {
        let forest = small();
        // (1·4 + 2·8) / 3 = 20/3; the split's own cover is 1: (3·−1 + 1·20/3) / 4 = 11/12
        assert!((forest.value(0) - 11.0 / 12.0).abs() < 1e-6);
        assert_eq!(forest.importances(), [0.5, 0.5]);
        assert_eq!((forest.depth(), forest.trees(), forest.nodes()), (2, 1, 5));
    }

    #[test]
    fn raw_trees_rebuild_the_same_forest() {
        let forest = small();
        let mut again = Forest::new(2, 0.5).unwrap();
        again.push(&forest.raw_tree(0)).unwrap();
        assert_eq!(format!("{again:?}"), format!("{forest:?}"));
    }

    #[test]
    fn malformed_trees_are_refused() {
        let below = || Test::Below(1.0);
        for tree in [
            vec![],
            vec![leaf(f32::NAN, 1.0)],
            vec![leaf(1.0, 1.0), leaf(1.0, 1.0)],
            vec![split(0, below(), true, 1, 1), leaf(1.0, 1.0)],
            vec![split(0, below(), true, 0, 1), leaf(1.0, 1.0)],
            vec![split(0, below(), true, 1, 9), leaf(1.0, 1.0)],
            vec![split(2, below(), true, 1, 2), leaf(1.0, 1.0), leaf(1.0, 1.0)],
            vec![split(0, Test::Below(f32::NAN), true, 1, 2), leaf(1.0, 1.0), leaf(1.0, 1.0)],
            vec![split(0, Test::Among(vec![2, 1]), true, 1, 2), leaf(1.0, 1.0), leaf(1.0, 1.0)],
        ] {
            assert!(Forest::new(2, 0.0).unwrap().push(&tree).is_err(), "{tree:?}");
        }
    }
}
