"""How products are computed: primitives, the jnp reader, the native library."""
