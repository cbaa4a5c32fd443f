//! Uses the macro.

/// Both shapes of the macro.
pub fn sum(more: bool) -> u32 {
    if more {
        return shapes::number!(one) + shapes::number!(two);
    }
    0
}

#[cfg(test)]
mod tests {
    #[test]
    fn sums() {
        assert_eq!(super::sum(true), 3);
    }
}
