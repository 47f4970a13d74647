from feedback.models.complaint import Complaint
from feedback.models.customer import Contact, Customer
from feedback.models.silence import Silence

__all__ = ["Complaint", "Contact", "Customer", "Silence"]
