"""placeholder, owned by the gateway/events work package"""
