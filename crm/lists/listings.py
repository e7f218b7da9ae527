"""All lists, by what they are of."""

from crm.lists import accounts, contacts, leads, opportunities, tasks
from crm.lists.listing import Listing

LISTINGS: dict[str, Listing] = {
    listing.entity: listing
    for listing in (accounts.LISTING, contacts.LISTING, leads.LISTING, opportunities.LISTING, tasks.LISTING)
}
