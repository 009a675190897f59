//! The pure data product compiler: contract, row validation, fold, query plans.
