"""What an operator does and sees: retry now, edit, discard, in bulk too; lists and overview."""
