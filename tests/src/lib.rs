//! Toy services, a throw-away Authority and scripted peers for the tests of this package.
