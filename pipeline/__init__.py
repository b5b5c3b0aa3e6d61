"""What does mmrank do? Records in; ranked, explained and guarded treatment modalities out."""
