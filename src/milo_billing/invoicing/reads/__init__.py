"""SQL that reads invoices, their lines and documents. All under the reach of the transaction."""
