pub fn twice(x: u32) -> u32 {
    if x > 9 {
        return 0;
    }
    2 * x
}
