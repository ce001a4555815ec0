"""Personal and card data of an order or a customer, erased from all stores and topics."""
