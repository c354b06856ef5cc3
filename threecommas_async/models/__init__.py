"""What the API answers and what it is asked, as msgspec Structs: one file for each entity."""
