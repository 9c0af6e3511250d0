"""The one transcript between all dialects: its types, speaker alignment and text formats. Pure."""
