"""Who has the GPU, and for how long: the policies, what gives the GPU to whom they choose, and the account of it."""
