"""Running a built network: state, the interval loop, exchange, recording."""
