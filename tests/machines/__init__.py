"""The state machines, ending by ending, through the ASL that ships."""
