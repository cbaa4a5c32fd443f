fn main() {
    everything::greeting("");
}
