"""The admin: one module a page; `registry` loads them all, `site` is the frame around them."""
