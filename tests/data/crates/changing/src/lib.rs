//! A crate for tests.

/// Five lines that can be covered; a negative `x` is not reached.
pub fn sign(x: i32) -> i32 {
    if x < 0 {
        return -1;
    }
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn positive() {
        assert_eq!(super::sign(3), 1);
    }
}

/// Is there only with the default feature.
#[cfg(feature = "loud")]
pub fn loud() -> u32 {
    1
}

/// Is there only with the other feature.
#[cfg(feature = "quiet")]
pub fn quiet() -> u32 {
    let one = 1;
    one
}

/// Is there only with a flag of the compiler.
#[cfg(configured)]
pub fn configured() -> u32 {
    let one = 1;
    let two = 2;
    one + two
}

/// Is there only with a stable compiler, as cargo-llvm-cov tells them apart.
#[cfg(not(coverage_nightly))]
pub fn stable() -> u32 {
    1
}

/// Reached from tests/ alone.
pub fn far() -> u32 {
    1
}
