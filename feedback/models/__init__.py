from feedback.models.complaint import Complaint
from feedback.models.customer import Contact, Customer

__all__ = ["Complaint", "Contact", "Customer"]
