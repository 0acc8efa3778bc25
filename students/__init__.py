"""One- and few-step generators distilled from a teacher."""
