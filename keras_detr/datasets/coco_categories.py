"""The categories of COCO-JSON: which ones are classes."""

from keras_detr.batches.class_names import check_class_names
from keras_detr.datasets.data_report import brief
from keras_detr.datasets.json_numbers import whole_number


def read_categories(content, source, report):
    """Return the category ids by name, in ascending order.

    Every entry must be valid: leaving one out would renumber the classes. Of several with one name
    only one may have boxes, and the others are left out. So is one without boxes that all others
    name as their supercategory: some exports list their group of categories.
    """
    names_by_id = {}
    for entry in content["categories"]:
        entry_id = whole_number(entry.get("id")) if isinstance(entry, dict) else None
        if entry_id is None or not isinstance(entry.get("name"), str):
            raise ValueError(
                f"{source}: each of 'categories' must be a dict with a whole number 'id' and a "
                f"text 'name'. Received: {brief(entry)}."
            )
        name = entry["name"].strip()
        if names_by_id.setdefault(entry_id, name) != name:
            raise ValueError(
                f"{source}: the category id {entry_id} stands for {names_by_id[entry_id]!r} and "
                f"for {name!r}. Give each category an id of its own."
            )
    if not names_by_id:
        raise ValueError(f"{source}: 'categories' is empty. List at least one category.")
    used = {
        whole_number(entry.get("category_id"))
        for entry in content["annotations"]
        if isinstance(entry, dict)
    }
    if len(set(names_by_id.values())) < len(names_by_id):
        names_by_id = _without_repeated_names(names_by_id, used, source, report)
    group = _group_of_all(content["categories"], names_by_id, used)
    if group is not None:
        report.add("group_category", detail=f"{names_by_id.pop(group)!r}, id {group}")
    ids = sorted(names_by_id)
    names = [names_by_id[entry_id] for entry_id in ids]
    names = check_class_names(names, what=f"{source}: the names of 'categories'")
    return dict(zip(names, ids, strict=True))


def _group_of_all(entries, names_by_id, used):
    """Return the id of a category without boxes that all others are kinds of, or `None`."""
    parents = {whole_number(entry["id"]): entry.get("supercategory") for entry in entries}
    for entry_id, name in names_by_id.items():
        others = [parents[other] for other in names_by_id if other != entry_id]
        if entry_id not in used and others and all(parent == name for parent in others):
            return entry_id
    return None


def _without_repeated_names(names_by_id, used, source, report):
    """Return categories with one of each name, that with boxes, and report the others."""
    ids_by_name = {}
    for entry_id in sorted(names_by_id):
        ids_by_name.setdefault(names_by_id[entry_id], []).append(entry_id)
    return {
        _category_with_boxes(name, ids, used, source, report): name
        for name, ids in ids_by_name.items()
    }


def _category_with_boxes(name, ids, used, source, report):
    """Return which id of one name is in use, the last one if none is, and report the others."""
    found = [entry_id for entry_id in ids if entry_id in used]
    if len(found) > 1:
        raise ValueError(
            f"{source}: the categories of the ids {brief(found)} have one name, {name!r}, and all "
            "have boxes. Give each a name of its own, or make them one category."
        )
    kept = (found or ids)[-1]
    for entry_id in ids:
        if entry_id != kept:
            report.add("repeated_category", detail=f"{name!r}, id {entry_id}; {kept} is kept")
    return kept
