"""The cortical microcircuit of Potjans & Diesmann (2014), doi:10.1093/cercor/bhs358."""
