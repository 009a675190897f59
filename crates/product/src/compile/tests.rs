//! What compiles, and what is said of what does not.

use super::compile;

const AIR: &str = include_str!("../../../../deploy/products/air.toml");

#[test]
fn the_demo_product_compiles() {
    let contract = compile("air.toml", AIR).unwrap();
    assert_eq!(contract.name, "air");
}
