//! Flags, features, generated code and dependencies.

#[cfg(test)]
mod lib_tests;
#[cfg(test)]
mod tests;

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

/// Is there only with the flag that the crate's own configuration sets.
#[cfg(configured)]
pub fn configured() -> &'static str {
    let word = env!("WORD");
    word
}

/// Is there only with the default feature.
#[cfg(feature = "loud")]
pub fn loud() -> u32 {
    outside::twice(2)
}

/// Is there only with the other feature; no test reaches it.
#[cfg(feature = "quiet")]
pub fn quiet() -> u32 {
    let one = 1;
    one
}

/// Reached by the binary alone.
pub fn greeting(name: &str) -> String {
    if name.is_empty() {
        return String::from("hello");
    }
    format!("hello {name}")
}
