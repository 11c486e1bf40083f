//! Why a row got its margin, and what it would get with another value: fast enough for every verdict.
//!
//! Contributions follow the path of the row (Saabas 2014, "Interpreting random forests"; XGBoost's
//! `pred_contribs(approx_contribs=True)`): each split gives the change of the expected margin to its feature. They add
//! up to the margin but know no interactions; replacements are exact, since the trees are walked again.

use crate::trees::Forest;

/// A margin, told by features.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// The expected margin before anything is known of the row.
    pub bias: f64,
    /// What each feature changed, in log odds: `bias + Σ features` is the margin.
    pub features: Vec<f64>,
}

impl Contributions {
    /// The margin that they add up to.
    pub fn margin(&self) -> f64 {
        self.bias + self.features.iter().sum::<f64>()
    }

    /// The features that raised the margin, strongest first, at most `limit`.
    pub fn strongest(&self, limit: usize) -> Vec<usize> {
        let mut raising: Vec<(usize, f64)> =
            self.features.iter().copied().enumerate().filter(|(_, c)| *c > 0.0).collect();
        raising.sort_by(|a, b| b.1.total_cmp(&a.1));
        raising.into_iter().take(limit).map(|(feature, _)| feature).collect()
    }
}

/// One feature's value replaced by another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Replacement {
    pub feature: usize,
    pub value: f32,
}

impl Forest {
    /// One row's margin: the same bits as in a batch.
    pub fn margin(&self, row: &[f32]) -> f32 {
        self.roots().fold(self.base(), |sum, root| sum + self.value(self.leaf_below(root, row, None)))
    }

    /// What each feature contributed to a row's margin.
    pub fn contributions(&self, row: &[f32]) -> Contributions {
        let mut contributions = Contributions { bias: f64::from(self.base()), features: vec![0.0; self.width()] };
        for root in self.roots() {
            contributions.bias += f64::from(self.value(root));
            let mut own = root;
            while let Some(split) = self.split_at(own) {
                let child = split.child(row.get(split.feature()).copied().unwrap_or(f32::NAN));
                let change = f64::from(self.value(child)) - f64::from(self.value(own));
                if let Some(contribution) = contributions.features.get_mut(split.feature()) {
                    *contribution += change;
                }
                own = child;
            }
        }
        contributions
    }

    /// The margin of the row with one value replaced.
    pub(crate) fn margin_with(&self, row: &[f32], replacement: Replacement) -> f32 {
        let replaced = Some((replacement.feature, replacement.value));
        self.roots().fold(self.base(), |sum, root| sum + self.value(self.leaf_below(root, row, replaced)))
    }

    /// The margins of the row with each value replaced in turn, in one pass: a tree is walked again only from the node
    /// where the replaced value leaves the row's own path.
    pub(crate) fn margins_with(&self, row: &[f32], replacements: &[Replacement]) -> Vec<f32> {
        let mut slot_of = vec![None; self.width()];
        for (slot, replacement) in replacements.iter().enumerate() {
            if let Some(place) = slot_of.get_mut(replacement.feature) {
                *place = Some(slot);
            }
        }
        let mut sums = vec![self.base(); replacements.len()];
        let mut leaves: Vec<Option<f32>> = vec![None; replacements.len()];
        for root in self.roots() {
            let own_leaf = self.walk_replaced(root, row, replacements, &slot_of, &mut leaves);
            // added up tree by tree, as a batch does, so that the bits are those of the replaced row
            for (sum, leaf) in sums.iter_mut().zip(&mut leaves) {
                *sum += leaf.take().unwrap_or(own_leaf);
            }
        }
        sums
    }

    /// The value of the row's own leaf; `leaves` gets those of the replacements that leave its path.
    fn walk_replaced(
        &self,
        root: usize,
        row: &[f32],
        replacements: &[Replacement],
        slot_of: &[Option<usize>],
        leaves: &mut [Option<f32>],
    ) -> f32 {
        let mut own = root;
        while let Some(split) = self.split_at(own) {
            let feature = split.feature();
            let child = split.child(row.get(feature).copied().unwrap_or(f32::NAN));
            let slot = slot_of.get(feature).copied().flatten();
            if let Some((slot, replacement)) = slot.and_then(|slot| Some((slot, replacements.get(slot)?))) {
                let other = split.child(replacement.value);
                if let (true, Some(leaf @ None)) = (other != child, leaves.get_mut(slot)) {
                    *leaf = Some(self.value(self.leaf_below(other, row, Some((feature, replacement.value)))));
                }
            }
            own = child;
        }
        self.value(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::tests::small;

    #[test]
    fn contributions_follow_the_path_and_add_up() {
        let forest = small();
        let told = forest.contributions(&[1.0, 1.0]);
        // expected margins on the path: 11/12 at the root, 20/3 below it, 8 in the leaf; the base is 1/2
        let (root, inner) = (11.0 / 12.0, 20.0 / 3.0);
        for (told, expected) in
            [(told.bias, 0.5 + root), (told.features[0], inner - root), (told.features[1], 8.0 - inner)]
        {
            assert!((told - expected).abs() < 1e-6, "{told} {expected}");
        }
        assert!((told.margin() - 8.5).abs() < 1e-12);
        assert_eq!(told.strongest(1), [0]);
    }

    #[test]
    fn replaced_margins_are_those_of_the_replaced_row() {
        let forest = small();
        let row = [1.0, 1.0];
        let replacements = [Replacement { feature: 1, value: 0.0 }, Replacement { feature: 0, value: 0.0 }];
        assert_eq!(forest.margins_with(&row, &replacements), [4.5, -0.5]);
        assert_eq!(forest.margin_with(&row, replacements[0]), 4.5);
        assert_eq!(forest.margins_with(&row, &[Replacement { feature: 1, value: f32::NAN }]), [4.5]);
    }
}
