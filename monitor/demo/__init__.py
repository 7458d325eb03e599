"""The demo: a year of real flights, a real model, a real service, and one alert that arrives at a real webhook."""
