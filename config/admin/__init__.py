"""The admin: one module a page; `registered` brings them together, `site` frames them."""
