"""The SDKs of the native provider, generated for every language from the schema."""
