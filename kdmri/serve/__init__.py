"""Raw data in and images out on the wire: a server for scanners that speak ISMRMRD's protocol."""
