#[test]
fn configured() {
    assert_eq!(super::configured(), std::env::var("WORD").unwrap());
    assert_eq!(super::generated(), 7);
    #[cfg(feature = "loud")]
    assert_eq!(super::loud(), 4);
}
