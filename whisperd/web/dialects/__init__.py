"""One file for each family of clients: parse its request, render its reply and its errors."""
