"""The COBA network of Vogels & Abbott (2005), doi:10.1523/JNEUROSCI.3508-05.2005."""
