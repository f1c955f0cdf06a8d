"""Commands on payments."""

from cyclopts import App

payments = App(name="payments", help="Payments: collect what is due, give back, see what became of it.")
